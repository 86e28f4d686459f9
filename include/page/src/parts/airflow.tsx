import type { MouseEvent, ReactNode } from "react";
import { isFramed } from "../window";

/**
 * A link to a place in Airflow.
 *
 * Inside of Airflow the page is in a frame that may not lead its window elsewhere. The window itself may, so it is asked
 * to follow the link; it is of the same origin.
 */
export function AirflowLink({ url, children }: { url: string; children: ReactNode }) {
  const lead = (event: MouseEvent) => {
    const isPlain = event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);
    if (!isFramed || !isPlain) return;
    event.preventDefault();
    const link = window.parent.document.createElement("a");
    link.href = url;
    link.click();
  };
  return (
    <a href={url} onClick={lead}>
      {children}
    </a>
  );
}
