import { address } from "./base";

/** One change, as the feed tells it: a CloudEvent. */
export interface Change {
  type: string;
  subject: string;
  time: string;
  data: Record<string, unknown>;
}

export interface Listener {
  onOpen: () => void;
  onSign: () => void;
  onChange: (change: Change) => void;
  onLoss: (status: number) => void;
}

const SILENCE_MS = 25_000;
const RETRY_MS = 2_000;

/**
 * Reads the change feed while the page is seen, until it is told to stop, and takes it up again where it was.
 *
 * By `fetch` and not by EventSource, which hides the comments that say "still here": a connection that died silently
 * would look like a quiet day. And only while the page is seen: a browser has six connections to a server for all of
 * its tabs together, and a handful of forgotten ones would leave none to ask with.
 */
export function follow(listener: Listener): () => void {
  const place: Place = { id: null };
  let reading: AbortController | null = null;
  const look = () => {
    if (document.visibilityState === "hidden") {
      reading?.abort();
      reading = null;
    } else if (!reading) {
      reading = new AbortController();
      void keepReading(place, listener, reading.signal);
    }
  };
  document.addEventListener("visibilitychange", look);
  look();
  return () => {
    document.removeEventListener("visibilitychange", look);
    reading?.abort();
  };
}

/** Where it was in the feed; null is from now on. */
interface Place {
  id: string | null;
}

async function keepReading(place: Place, listener: Listener, end: AbortSignal) {
  while (!end.aborted) {
    const status = await readOnce(place, listener, end);
    if (end.aborted) return;
    // Too old to resume, or of another database: begin anew. Everything is read again when the feed opens.
    if (status === 410) place.id = null;
    listener.onLoss(status);
    await new Promise((wake) => setTimeout(wake, RETRY_MS));
  }
}

async function readOnce(place: Place, listener: Listener, end: AbortSignal): Promise<number> {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), SILENCE_MS);
  try {
    const response = await fetch(address("/v1/changes"), {
      credentials: "same-origin",
      cache: "no-store",
      headers: { Accept: "text/event-stream", ...(place.id ? { "Last-Event-ID": place.id } : {}) },
      signal: AbortSignal.any([end, silence.signal]),
    });
    if (!response.ok || !response.body) return response.status || 0;
    listener.onOpen();
    const parse = parser((id, data) => {
      if (id) place.id = id;
      const change = understood(data);
      if (change) listener.onChange(change);
    });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return 0;
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
      listener.onSign();
      parse(value);
    }
  } catch {
    return 0;
  } finally {
    clearTimeout(timer);
  }
}

/** The lines of `text/event-stream`, in pieces as they come. */
function parser(onEvent: (id: string | null, data: string) => void): (piece: string) => void {
  let rest = "";
  let id: string | null = null;
  let data: string[] = [];
  return (piece) => {
    const lines = (rest + piece).split(/\r?\n/);
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line === "") {
        if (data.length > 0 || id) onEvent(id, data.join("\n"));
        id = null;
        data = [];
      } else if (line.startsWith("id:")) id = line.slice(3).trim();
      else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
    }
  };
}

function understood(data: string): Change | null {
  try {
    return data ? (JSON.parse(data) as Change) : null;
  } catch {
    return null;
  }
}
