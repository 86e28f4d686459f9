import { useQueryClient } from "@tanstack/react-query";
import { createContext, type ReactNode, useContext, useEffect, useMemo, useRef, useState } from "react";
import { type Change, follow } from "./api/feed";
import { failedSince, type Read } from "./api/queries";
import type { Session, State } from "./api/types";

/** How the page stands with the platform. `since` is when contact was lost, where it is. */
export interface Contact {
  state: "connecting" | "live" | "lost";
  since: Date | null;
}

interface Live {
  contact: Contact;
  /** The platform's time now: its clock may be set to another year. */
  now: () => number;
  /** What was read before this moment is of before a silence: changes may have been missed. */
  trustedFrom: () => number;
  lastChange: { key: string; at: number } | null;
}

const LiveContext = createContext<Live>({
  contact: { state: "connecting", since: null },
  now: Date.now,
  trustedFrom: () => 0,
  lastChange: null,
});

const SILENCE_MS = 25_000;
const TICK_MS = 1_000;
const GATHER_MS = 300;

/** Follows the change feed, brings what is on the page up to date, and says when that can no longer be promised. */
export function LiveProvider({ session, children }: { session: Session; children: ReactNode }) {
  const queries = useQueryClient();
  const [contact, setContact] = useState<Contact>({ state: "connecting", since: null });
  const [lastChange, setLastChange] = useState<Live["lastChange"]>(null);
  const [said, setSaid] = useState("");
  const offset = useRef(0);
  offset.current = useOffset(session);
  const trustedFrom = useRef(0);

  useEffect(() => {
    let lastSign = Date.now();
    let isOver = false;
    let isWanted = false;
    let isReading = false;
    // Changes come in crowds. What is on the page is read anew once for a crowd, and once more for what came meanwhile.
    const refresh = async () => {
      isWanted = true;
      if (isReading) return;
      isReading = true;
      while (isWanted && !isOver) {
        await new Promise((wake) => setTimeout(wake, GATHER_MS));
        isWanted = false;
        await queries.invalidateQueries();
      }
      isReading = false;
    };
    // Whether this is the first sign after a silence: then what was read before it is doubted until it is read again.
    const heard = () => {
      const wasSilent = Date.now() - lastSign > SILENCE_MS;
      lastSign = Date.now();
      if (wasSilent) trustedFrom.current = lastSign;
      return wasSilent;
    };
    const stop = follow({
      onOpen: () => {
        heard();
        setContact({ state: "live", since: null });
        void refresh();
      },
      onSign: () => {
        if (heard()) void refresh();
        setContact((known) => (known.state === "live" ? known : { state: "live", since: null }));
      },
      onLoss: (status) => {
        if (status === 401) void queries.invalidateQueries({ queryKey: ["session"] });
        setContact((known) => (known.state === "live" ? { state: "connecting", since: new Date(lastSign) } : known));
        // Whether anybody still answers is found out at once, not when the next question happens to be asked.
        void refresh();
      },
      onChange: (change) => {
        const key = change.subject;
        setLastChange({ key, at: Date.now() });
        setSaid(inWords(change));
        void refresh();
      },
    });
    const ticking = setInterval(() => {
      if (Date.now() - lastSign <= SILENCE_MS) return;
      setContact((known) => (known.state === "lost" ? known : { state: "lost", since: new Date(lastSign) }));
    }, TICK_MS);
    return () => {
      stop();
      clearInterval(ticking);
      isOver = true;
    };
  }, [queries]);

  const live = useMemo<Live>(
    () => ({
      contact,
      now: () => Date.now() + offset.current,
      trustedFrom: () => trustedFrom.current,
      lastChange,
    }),
    [contact, lastChange],
  );
  return (
    <LiveContext value={live}>
      {children}
      <div className="hidden" role="status" aria-live="polite">
        {said}
      </div>
    </LiveContext>
  );
}

function useOffset(session: Session): number {
  const known = useRef({ time: "", offset: 0 });
  if (known.current.time !== session.platform_time) {
    known.current = { time: session.platform_time, offset: Date.parse(session.platform_time) - Date.now() };
  }
  return known.current.offset;
}

function inWords(change: Change): string {
  const { dataset, partition, state, action_id, kind } = change.data as Record<string, string | number | null>;
  if (change.type.includes("action")) return `Action ${action_id}, ${kind}, is now ${state}.`;
  return dataset ? `${dataset} ${partition ?? ""} is now ${state}.` : "Everything is read again.";
}

export function useLive(): Live {
  return useContext(LiveContext);
}

/** Why a state that was once read can no longer be vouched for; null where it can. */
export function useDoubt(validUntil: string | null | undefined, read: Read): string | null {
  const { contact, now, trustedFrom } = useLive();
  const [ticks, tick] = useState(0);
  const failedAt = failedSince(read);
  const until = validUntil ? Date.parse(validUntil) : null;
  // biome-ignore lint/correctness/useExhaustiveDependencies: each tick arms it again, as the platform's time is known better
  useEffect(() => {
    if (until === null) return;
    const left = until - now();
    if (left < 0 || left > 2 ** 31) return;
    const timer = setTimeout(() => tick((count) => count + 1), left + 50);
    return () => clearTimeout(timer);
  }, [until, now, ticks]);
  if (failedAt) return `The platform has not answered since ${clockTime(new Date(failedAt))}.`;
  if (contact.state === "lost") return `No sign of the platform since ${clockTime(contact.since ?? new Date())}.`;
  if (read.dataUpdatedAt && read.dataUpdatedAt < trustedFrom()) return "The platform was silent; it is asked again.";
  if (until !== null && until < now()) return `This answer ran out at ${utc(validUntil)}.`;
  return null;
}

/** A state as it may be shown. */
export function shown(state: State, doubt: string | null): State {
  return doubt ? "unknown" : state;
}

export function clockTime(moment: Date): string {
  return moment.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
}

export function utc(moment: string | null | undefined): string {
  if (!moment) return "never";
  const found = new Date(moment);
  return Number.isNaN(found.getTime()) ? moment : `${found.toISOString().slice(0, 16).replace("T", " ")} UTC`;
}
