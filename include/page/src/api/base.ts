// Where the page is served from: `/` alone, a longer path in Airflow. The server says it in `<base href>`.
export const basePath: string = new URL(document.baseURI).pathname.replace(/\/$/, "");

export function address(path: string): string {
  return `${basePath}${path}`;
}
