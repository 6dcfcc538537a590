import { useEffect, useState } from "preact/hooks";
import type { Tools } from "../tools";
import type { Proposal } from "./composer";

const GENERAL: Proposal[] = [
  { text: "What can you help me with in this notebook?", attach: [] },
  { text: "Write a cell that reads a CSV file and shows its columns.", attach: [] },
  { text: "Explain how to plot a time series with a rolling mean.", attach: [] },
];

/** An empty conversation: a sentence, and three prompts that make sense in this notebook. */
export function Empty({
  tools,
  disabled,
  onPropose,
}: {
  tools: Tools;
  disabled: boolean;
  onPropose: (one: Proposal) => void;
}) {
  const [proposals, setProposals] = useState<Proposal[]>(GENERAL);
  useEffect(() => {
    let isHere = true;
    tools.kernel.call("suggestions", {}).then(
      ({ prompts }) => isHere && prompts.length && setProposals(prompts),
      () => {}, // a kernel that is busy or gone has none; the general ones stay
    );
    return () => void (isHere = false);
  }, [tools]);
  return (
    <div class="warp-empty">
      <p>Ask about this notebook, its data, or anything else; cells with the same session join in.</p>
      {!disabled && (
        <ul>
          {proposals.map((one) => (
            <li key={one.text}>
              <button type="button" class="warp-labelled" onClick={() => onPropose(one)}>
                {one.text}
              </button>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
