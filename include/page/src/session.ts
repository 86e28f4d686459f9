import { createContext, useContext } from "react";
import type { Scope, Session } from "./api/types";

export const SessionContext = createContext<Session | null>(null);

export function useSession(): Session {
  const session = useContext(SessionContext);
  if (!session) throw new Error("outside of a session");
  return session;
}

export function may(session: Session, scope: Scope, domains: readonly string[] = []): boolean {
  return session.scopes.includes(scope) && domains.every((domain) => holdsIn(session, domain));
}

/** What is missing for a right in these domains, in words; null where nothing is. The API decides all the same. */
export function missing(session: Session, scope: Scope, domains: readonly string[]): string | null {
  if (!session.scopes.includes(scope)) return `You lack the scope “${scope}”.`;
  const without = domains.filter((domain) => !holdsIn(session, domain));
  return without.length > 0 ? `Your scope “${scope}” does not hold in ${without.join(", ")}.` : null;
}

function holdsIn(session: Session, domain: string): boolean {
  return session.domains.includes("*") || session.domains.includes(domain);
}
