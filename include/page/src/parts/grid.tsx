import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, type MouseEvent, memo, useEffect, useMemo, useRef, useState } from "react";
import { useNavigate } from "react-router";
import { address } from "../api/base";
import type { MatrixRow, State } from "../api/types";
import { shown, useLive } from "../live";
import { pathOf } from "./basics";
import { SIGNS } from "./states";

export interface GridRow extends MatrixRow {
  counts: Partial<Record<State, number>>;
  weight: number;
}

const ROW_HEIGHT = 32;
const HEAD_HEIGHT = 46;
const CELL_WIDTH = 28;
const WIDE_NAMES = 300;
const NARROW_NAMES = 124;
const PAGE = 10;
const FLASH_MS = 2_000;
const ALL = "all";

interface Place {
  row: number;
  /** 0 is the dataset's name, 1 the newest partition. */
  column: number;
}

interface GridProps {
  rows: GridRow[];
  days: string[];
  letters: Record<string, State>;
  doubt: string | null;
}

/**
 * Datasets by partitions, of which only what is in sight is in the document.
 *
 * One cell at a time takes part in the tab order (the ARIA grid pattern); arrow keys, Home, End and the page keys move
 * it. Every cell is a link with an address of its own, so that a middle click, a bookmark and a screen reader work.
 */
export function Grid({ rows, days, letters, doubt }: GridProps) {
  const scroller = useRef<HTMLDivElement>(null);
  const names = useIsNarrow() ? NARROW_NAMES : WIDE_NAMES;
  const columns = useMemo(() => (rows.some((row) => row.all) ? [ALL, ...days] : days), [rows, days]);
  const down = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_HEIGHT,
    paddingStart: HEAD_HEIGHT,
    scrollPaddingStart: HEAD_HEIGHT,
    overscan: 2,
  });
  const across = useVirtualizer({
    horizontal: true,
    count: columns.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => CELL_WIDTH,
    paddingStart: names,
    paddingEnd: 8,
    scrollPaddingStart: names,
    overscan: 3,
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: the width of the names moves every column
  useEffect(() => across.measure(), [names]);
  const { place, follow, isFollowed } = usePlace(rows.length, columns.length, (to) => {
    down.scrollToIndex(to.row);
    if (to.column > 0) across.scrollToIndex(to.column - 1);
  });
  const flash = useFlash();
  const navigate = useNavigate();

  const visible = across.getVirtualItems();
  const lines = down.getVirtualItems();
  // biome-ignore lint/correctness/useExhaustiveDependencies: the cell is there only once its row and column are drawn
  useEffect(() => {
    if (!isFollowed.current) return;
    const cell = scroller.current?.querySelector<HTMLElement>(`[data-at="${place.row}:${place.column}"]`);
    if (!cell) return;
    cell.focus({ preventScroll: true });
    isFollowed.current = false;
  }, [place, visible, lines]);

  // What the benchmark reads: when the matrix stood there for the first time.
  useEffect(() => {
    const drawn = requestAnimationFrame(() => performance.mark("matrix-drawn"));
    return () => cancelAnimationFrame(drawn);
  }, []);

  const move = (event: KeyboardEvent) => {
    const to = moved(event, place, rows.length - 1, columns.length);
    if (!to) return;
    event.preventDefault();
    follow(to);
  };
  const open = (event: MouseEvent) => {
    const link = (event.target as Element).closest("a");
    const isPlain = event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);
    if (!link?.dataset.to || !isPlain) return;
    event.preventDefault();
    navigate(link.dataset.to);
  };
  return (
    <div
      ref={scroller}
      className="matrix"
      role="grid"
      aria-label="Safety of every dataset by partition"
      aria-rowcount={rows.length + 1}
      aria-colcount={columns.length + 1}
      aria-readonly="true"
      style={{ "--names": `${names}px`, maxHeight: HEAD_HEIGHT + rows.length * ROW_HEIGHT + 18 } as React.CSSProperties}
      onKeyDown={move}
      onClick={open}
      tabIndex={-1}
    >
      <div
        role="presentation"
        style={{ position: "relative", height: down.getTotalSize(), width: across.getTotalSize(), minWidth: "100%" }}
      >
        <Head
          columns={columns}
          visible={visible.map((item) => item.index)}
          names={names}
          width={across.getTotalSize()}
        />
        {lines.map((line) => {
          const row = rows[line.index];
          return (
            row && (
              <Line
                key={row.dataset}
                row={row}
                index={line.index}
                top={line.start}
                width={across.getTotalSize()}
                names={names}
                columns={columns}
                first={visible[0]?.index ?? 0}
                last={visible.at(-1)?.index ?? -1}
                letters={letters}
                doubt={doubt}
                here={place.row === line.index ? place.column : null}
                changed={flash?.startsWith(`${row.dataset}/`) ? flash : null}
              />
            )
          );
        })}
      </div>
    </div>
  );
}

interface LineProps {
  row: GridRow;
  index: number;
  top: number;
  width: number;
  names: number;
  columns: string[];
  /** The columns in sight. */
  first: number;
  last: number;
  letters: Record<string, State>;
  doubt: string | null;
  /** The column that takes part in the tab order, where it is in this line. */
  here: number | null;
  changed: string | null;
}

const Line = memo(function Line({
  row,
  index,
  top,
  width,
  names,
  columns,
  first,
  last,
  letters,
  doubt,
  ...at
}: LineProps) {
  const before = columns[0] === ALL ? 1 : 0;
  return (
    <div className="matrix-row" role="row" aria-rowindex={index + 2} style={{ top, width, minWidth: "100%" }}>
      <Name row={row} at={index} isHere={at.here === 0} />
      {columns.slice(first, last + 1).map((partition, offset) => {
        const column = first + offset;
        return (
          <Cell
            key={partition}
            dataset={row.dataset}
            partition={partition}
            state={partition === ALL ? row.all : (letters[row.states[column - before] ?? "."] ?? null)}
            isNone={(partition === ALL) !== (row.all !== null)}
            doubt={doubt}
            left={names + column * CELL_WIDTH}
            at={`${index}:${column + 1}`}
            isHere={at.here === column + 1}
            isChanged={at.changed === `${row.dataset}/${partition}`}
          />
        );
      })}
    </div>
  );
});

function Head({
  columns,
  visible,
  names,
  width,
}: {
  columns: string[];
  visible: number[];
  names: number;
  width: number;
}) {
  const left = (index: number) => names + index * CELL_WIDTH;
  const first = visible[0] ?? 0;
  return (
    <div className="matrix-head" role="row" aria-rowindex={1} style={{ width, minWidth: "100%" }}>
      <div className="matrix-name soft small" role="columnheader" aria-colindex={1}>
        dataset
      </div>
      {visible.map((index) => {
        const day = columns[index] ?? "";
        const month = day.slice(0, 7);
        const isFirstOfMonth = day !== ALL && (index === first || columns[index - 1]?.slice(0, 7) !== month);
        const hasRoom = index !== first || (columns[index + 2]?.slice(0, 7) ?? month) === month;
        return (
          <div key={day} role="columnheader" aria-colindex={index + 2} aria-label={day}>
            {isFirstOfMonth && hasRoom && (
              <span className="matrix-month" style={{ left: left(index) + 7 }}>
                {monthOf(day)}
              </span>
            )}
            <span className={`matrix-day${isWeekend(day) ? " weekend" : ""}`} style={{ left: left(index) }}>
              {day === ALL ? ALL : day.slice(8)}
            </span>
          </div>
        );
      })}
    </div>
  );
}

const Name = memo(function Name({ row, at, isHere }: { row: GridRow; at: number; isHere: boolean }) {
  const to = pathOf.dataset(row.dataset);
  return (
    <div className="matrix-name" role="rowheader" aria-colindex={1}>
      <a
        href={address(to)}
        data-to={to}
        data-at={`${at}:0`}
        tabIndex={isHere ? 0 : -1}
        title={`${row.dataset}, ${row.domain}`}
      >
        {row.dataset}
      </a>
      <span className="layer">{row.layer}</span>
    </div>
  );
});

interface CellProps {
  dataset: string;
  partition: string;
  state: State | null;
  /** A dataset that is not made by the day has no days, and the other way round. */
  isNone: boolean;
  doubt: string | null;
  left: number;
  at: string;
  isHere: boolean;
  isChanged: boolean;
}

const Cell = memo(function Cell({ dataset, partition, state, isNone, doubt, left, at, isHere, isChanged }: CellProps) {
  if (isNone) {
    return (
      <div className="matrix-cell" role="gridcell" style={{ left }}>
        <span className="mark none" data-at={at} tabIndex={isHere ? 0 : -1}>
          <span className="hidden">
            {dataset} has no {partition}
          </span>
        </span>
      </div>
    );
  }
  const to = pathOf.partition(dataset, partition);
  const seen = state && shown(state, doubt);
  const words = seen === null ? "nothing known" : seen === state ? seen : `unknown, was ${state}`;
  const label = `${dataset} ${partition}: ${words}`;
  return (
    <div className="matrix-cell" role="gridcell" style={{ left }}>
      <a
        className={seen ? (isChanged ? "mark changed" : "mark") : "mark none"}
        href={address(to)}
        data-to={to}
        data-at={at}
        data-is={seen ?? undefined}
        tabIndex={isHere ? 0 : -1}
        aria-label={label}
        title={label}
      >
        {seen ? SIGNS[seen] : "·"}
      </a>
    </div>
  );
});

function usePlace(rows: number, columns: number, bring: (to: Place) => void) {
  const [wanted, setWanted] = useState<Place>({ row: 0, column: 1 });
  const isFollowed = useRef(false);
  const place = {
    row: Math.min(wanted.row, Math.max(0, rows - 1)),
    column: Math.min(wanted.column, columns),
  };
  const follow = (to: Place) => {
    isFollowed.current = true;
    setWanted(to);
    bring(to);
  };
  return { place, follow, isFollowed };
}

function moved(event: KeyboardEvent, from: Place, lastRow: number, lastColumn: number): Place | null {
  const row = (to: number) => ({ ...from, row: Math.max(0, Math.min(lastRow, to)) });
  const column = (to: number) => ({ ...from, column: Math.max(0, Math.min(lastColumn, to)) });
  const isFar = event.ctrlKey || event.metaKey;
  switch (event.key) {
    case "ArrowUp":
      return row(from.row - 1);
    case "ArrowDown":
      return row(from.row + 1);
    case "ArrowLeft":
      return column(from.column - 1);
    case "ArrowRight":
      return column(from.column + 1);
    case "PageUp":
      return row(from.row - PAGE);
    case "PageDown":
      return row(from.row + PAGE);
    case "Home":
      return isFar ? { row: 0, column: 0 } : column(0);
    case "End":
      return isFar ? { row: lastRow, column: lastColumn } : column(lastColumn);
    default:
      return null;
  }
}

function useFlash(): string | null {
  const { lastChange } = useLive();
  const [isOver, setOver] = useState<number | null>(null);
  useEffect(() => {
    if (!lastChange) return;
    const timer = setTimeout(() => setOver(lastChange.at), FLASH_MS);
    return () => clearTimeout(timer);
  }, [lastChange]);
  return lastChange && isOver !== lastChange.at ? lastChange.key : null;
}

function useIsNarrow(): boolean {
  const [isNarrow, setNarrow] = useState(() => matchMedia("(max-width: 700px)").matches);
  useEffect(() => {
    const width = matchMedia("(max-width: 700px)");
    const look = () => setNarrow(width.matches);
    width.addEventListener("change", look);
    return () => width.removeEventListener("change", look);
  }, []);
  return isNarrow;
}

function monthOf(day: string): string {
  const found = new Date(`${day}T00:00:00Z`);
  return found.toLocaleDateString("en-GB", { month: "short", year: "numeric", timeZone: "UTC" });
}

function isWeekend(day: string): boolean {
  const weekday = new Date(`${day}T00:00:00Z`).getUTCDay();
  return weekday === 0 || weekday === 6;
}
