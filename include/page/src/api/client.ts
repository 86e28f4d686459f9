import { address } from "./base";

/** An answer that is none: what the API said (RFC 9457), or that it could not be asked at all (status 0). */
export class Problem extends Error {
  constructor(
    readonly status: number,
    title: string,
    readonly fix: string | null = null,
    readonly requestId: string | null = null,
  ) {
    super(title);
  }

  /** Nobody answered, or the one who answered could not ask: nothing may be concluded from it. */
  get isUnanswered(): boolean {
    return this.status === 0 || this.status >= 500 || this.status === 429;
  }
}

const PATIENCE_MS = 20_000;

export async function ask<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
  return (await request("GET", path + asQuery(query), undefined, signal)) as T;
}

export async function tell<T>(method: "POST" | "DELETE", path: string, body?: unknown, key?: string): Promise<T> {
  return (await request(method, path, body ?? {}, undefined, key)) as T;
}

export type Query = Record<string, string | number | null | undefined>;

export function asQuery(query: Query): string {
  const known = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(known.map(([name, value]) => [name, String(value)])).toString();
  return text ? `?${text}` : "";
}

async function request(method: string, path: string, body: unknown, signal?: AbortSignal, key?: string) {
  const patience = AbortSignal.timeout(PATIENCE_MS);
  let response: Response;
  try {
    response = await fetch(address(path), {
      method,
      credentials: "same-origin",
      headers: {
        Accept: "application/json",
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        ...(key ? { "Idempotency-Key": key } : {}),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: signal ? AbortSignal.any([signal, patience]) : patience,
    });
  } catch (failure) {
    if (signal?.aborted) throw failure;
    throw new Problem(0, "The platform does not answer.", "Is it running, and can this machine reach it?");
  }
  const said = response.headers.get("Content-Type")?.includes("json") ? await response.json() : null;
  if (!response.ok) throw problemOf(response, said);
  if (said === null && response.status !== 204) {
    throw new Problem(
      0,
      "What answered is not the platform.",
      "Is something between this page and it, such as a login?",
    );
  }
  return said;
}

function problemOf(response: Response, said: Said | null): Problem {
  const words = said?.detail && typeof said.detail === "string" ? said.detail : (said?.title ?? response.statusText);
  return new Problem(
    response.status,
    words || `The platform answered ${response.status}.`,
    said?.fix ?? null,
    said?.request_id ?? response.headers.get("X-Request-Id"),
  );
}

interface Said {
  title?: string;
  detail?: unknown;
  fix?: string;
  request_id?: string;
}
