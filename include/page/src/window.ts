/** Whether Airflow shows the page in a frame of its own UI. */
export const isFramed: boolean = window.parent !== window;

/** The address that leads a colleague here. In a frame it is the window's, which ends in the frame's own. */
export function addressToSend(): string {
  const here = window.location;
  const framing = isFramed ? /^(.*)\/plugin\/[^/]+/.exec(window.parent.location.pathname) : null;
  if (!framing) return here.href;
  const [view, airflow = ""] = framing;
  const path = here.pathname.startsWith(airflow) ? here.pathname.slice(airflow.length) : here.pathname;
  return `${here.origin}${view}${path}${here.search}`;
}
