import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { isRouteErrorResponse, Link, NavLink, Outlet, ScrollRestoration, useRouteError } from "react-router";
import { Problem, tell } from "./api/client";
import { questions } from "./api/queries";
import type { Session } from "./api/types";
import { clockTime, LiveProvider, useLive, utc } from "./live";
import { Login } from "./login";
import { Fault, Title } from "./parts/basics";
import { may, SessionContext } from "./session";
import { addressToSend } from "./window";

/** What is around every view: who asks, how the page stands with the platform, and the way to everything else. */
export function Frame() {
  const session = useQuery(questions.session());
  const problem = session.error;
  if (problem instanceof Problem && problem.status === 401) return <Login problem={problem} />;
  if (!session.data) {
    return <main className="main">{problem ? <Fault problem={problem} /> : <p aria-busy="true">Asking …</p>}</main>;
  }
  return (
    <SessionContext value={session.data}>
      <LiveProvider session={session.data}>
        {/* biome-ignore lint/a11y/useValidAnchor: without scripts it would still lead to the content */}
        <a className="skip" href="#main" onClick={toMain}>
          Skip to the content
        </a>
        <Head session={session.data} />
        <main className="main" id="main" tabIndex={-1}>
          <Outlet />
        </main>
        <ScrollRestoration />
      </LiveProvider>
    </SessionContext>
  );
}

// A fragment alone would lead to the `<base>`, away from the view.
function toMain(event: React.MouseEvent) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

function Head({ session }: { session: Session }) {
  const open = useQuery({ ...questions.actions("proposed"), enabled: may(session, "read") });
  const waiting = open.data?.items.length ?? 0;
  return (
    <header className="head">
      <Link to="/" className="brand">
        <svg viewBox="0 0 20 20" fill="none" stroke="currentColor" strokeWidth="2" aria-hidden="true">
          <path d="M6 9V6.5a4 4 0 0 1 8 0V9" />
          <rect x="4" y="9" width="12" height="8" rx="2" fill="currentColor" />
        </svg>
        Interlock
      </Link>
      <nav className="nav" aria-label="Views">
        <NavLink to="/" end>
          Matrix
        </NavLink>
        <NavLink to="/action">
          Actions
          {waiting > 0 && (
            <span className="tag" title={`${waiting} wait for an answer`}>
              {waiting}
              <span className="hidden"> wait for an answer</span>
            </span>
          )}
        </NavLink>
        <NavLink to="/metric">Metrics</NavLink>
      </nav>
      <div className="head-right">
        <Pulse />
        <CopyLink />
        <SessionMenu session={session} />
      </div>
    </header>
  );
}

function Pulse() {
  const { contact } = useLive();
  const words = {
    live: "live",
    connecting: "connecting …",
    lost: `unknown since ${contact.since ? clockTime(contact.since) : "the start"}`,
  };
  return (
    <span className="pulse" data-state={contact.state} role="status">
      {words[contact.state]}
    </span>
  );
}

/** In Airflow the page lives in a frame, and the address bar does not say where one is. */
function CopyLink() {
  const [said, setSaid] = useState("");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(addressToSend());
      setSaid("Copied");
    } catch {
      setSaid(addressToSend());
    }
    setTimeout(() => setSaid(""), 4000);
  };
  return (
    <button type="button" className="button quiet small" onClick={copy}>
      <span aria-live="polite">{said || "Copy link"}</span>
    </button>
  );
}

type Theme = "system" | "light" | "dark";

function ThemeChoice() {
  const [theme, setTheme] = useState<Theme>(() => (localStorage.getItem("interlock-theme") as Theme) ?? "system");
  const choose = (chosen: Theme) => {
    setTheme(chosen);
    if (chosen === "system") localStorage.removeItem("interlock-theme");
    else localStorage.setItem("interlock-theme", chosen);
    window.dispatchEvent(new Event("interlock-theme"));
  };
  return (
    <label className="field">
      Colours
      <select value={theme} onChange={(event) => choose(event.target.value as Theme)}>
        <option value="system">as the system</option>
        <option value="light">light</option>
        <option value="dark">dark</option>
      </select>
    </label>
  );
}

function SessionMenu({ session }: { session: Session }) {
  const queries = useQueryClient();
  const leave = useMutation({
    mutationFn: () => tell("DELETE", "/v1/session"),
    onSuccess: () => queries.resetQueries(),
  });
  return (
    <details className="menu" onKeyDown={(event) => event.key === "Escape" && close(event)} onBlur={close}>
      <summary className="button small">{session.person}</summary>
      <div className="menu-body">
        <dl className="stack small">
          <Said name="Rights" value={session.scopes.join(", ") || "none"} />
          <Said name="Domains" value={session.domains.includes("*") ? "all" : session.domains.join(", ") || "none"} />
          {session.expires_at && <Said name="Until" value={utc(session.expires_at)} />}
          <Said name="Environment" value={`${session.environment}, version ${session.version}`} />
          {session.clock_offset_seconds !== null && (
            <Said name="The platform's clock is set" value={utc(session.platform_time)} />
          )}
        </dl>
        <ThemeChoice />
        <button type="button" className="button" onClick={() => leave.mutate()} disabled={leave.isPending}>
          Log out
        </button>
        {leave.isError && <Fault problem={leave.error} />}
      </div>
    </details>
  );
}

// Escape closes it, and so does whatever takes the focus elsewhere.
function close(event: React.KeyboardEvent<HTMLDetailsElement> | React.FocusEvent<HTMLDetailsElement>) {
  const menu = event.currentTarget;
  if (event.type === "blur") {
    const { relatedTarget } = event as React.FocusEvent;
    if (!relatedTarget || menu.contains(relatedTarget)) return;
  } else menu.querySelector("summary")?.focus();
  menu.open = false;
}

function Said({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt className="soft">{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

export function Lost() {
  const failure = useRouteError();
  const isMissing = failure === undefined || (isRouteErrorResponse(failure) && failure.status === 404);
  return (
    <div className="card">
      <Title text={isMissing ? "There is no such page" : "The page broke"} />
      {!isMissing && <p>{failure instanceof Error ? failure.message : String(failure)}</p>}
      <p>
        <Link to="/">To the matrix</Link>
      </p>
    </div>
  );
}
