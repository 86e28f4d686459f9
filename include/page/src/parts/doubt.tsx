/** Said wherever states are shown that can no longer be vouched for. */
export function Doubt({ words }: { words: string }) {
  return (
    <div className="notice lost" role="alert">
      <strong>Unknown.</strong>
      <span>{words} What was read before is not shown as safe.</span>
    </div>
  );
}
