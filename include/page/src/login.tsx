import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { Problem, tell } from "./api/client";
import { Fault, Title } from "./parts/basics";
import { isFramed } from "./window";

export function Login({ problem }: { problem: Problem }) {
  const queries = useQueryClient();
  const [token, setToken] = useState("");
  const login = useMutation({
    mutationFn: () => tell("POST", "/v1/session", { token: token.trim() }),
    onSuccess: () => queries.resetQueries(),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    login.mutate();
  };
  const isRefused = login.error instanceof Problem && login.error.status === 401;
  return (
    <main className="main">
      <form className="card login" onSubmit={submit}>
        <Title text="Log in to Interlock" />
        <p className="soft">
          With a token. <code>interlock token create --for NAME</code> makes one; it is kept in a cookie that no script
          can read.
        </p>
        {isFramed && (
          <p className="soft">
            {problem.message} {problem.fix}
          </p>
        )}
        <label className="field">
          Token
          <input
            type="password"
            name="token"
            autoComplete="current-password"
            required
            value={token}
            onChange={(event) => setToken(event.target.value)}
            aria-invalid={isRefused}
          />
        </label>
        <button type="submit" className="button primary" disabled={login.isPending}>
          Log in
        </button>
        {login.isError && <Fault problem={login.error} />}
      </form>
    </main>
  );
}
