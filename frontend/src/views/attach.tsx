import { useRef, useState } from "preact/hooks";
import { failure } from "../chat";
import type { KernelVerbs } from "../gateway/types";
import type { Tools } from "../tools";
import { Floating, MenuItem } from "./floating";
import { IconButton } from "./icons";

type Name = KernelVerbs["names"][1]["names"][number];

interface Props {
  tools: Tools;
  disabled: boolean;
  onFiles: (files: Iterable<File>) => void;
  onVariable: (name: string) => void;
}

/** What can go along: a file, or a variable of the notebook. */
export function Attach({ tools, disabled, onFiles, onVariable }: Props) {
  const [open, setOpen] = useState(false);
  const [names, setNames] = useState<Name[] | null>(null);
  const [trouble, setTrouble] = useState("");
  const picker = useRef<HTMLInputElement>(null);
  const show = async () => {
    setOpen(true);
    setTrouble("");
    try {
      setNames((await tools.kernel.call("names", {})).names);
    } catch (error) {
      setTrouble(failure(error).message);
    }
  };
  return (
    <div class="warp-anchor">
      <IconButton
        icon="attach"
        name="Attach a file or a variable"
        popup="menu"
        expanded={open}
        disabled={disabled}
        onClick={() => (open ? setOpen(false) : void show())}
      />
      <input
        ref={picker}
        type="file"
        multiple
        hidden
        onChange={(event) => {
          onFiles([...(event.currentTarget.files ?? [])]);
          event.currentTarget.value = "";
        }}
      />
      {open && (
        <Floating label="Attach" onClose={() => setOpen(false)} kind="up">
          <MenuItem
            onClick={() => {
              setOpen(false);
              picker.current?.click();
            }}
          >
            File…
          </MenuItem>
          {names?.map((one) => (
            <MenuItem
              key={one.name}
              onClick={() => {
                setOpen(false);
                onVariable(one.name);
              }}
            >
              <code>{one.name}</code>{" "}
              <span class="warp-quiet">
                {one.kind} {one.detail}
              </span>
            </MenuItem>
          ))}
          {!names && <p class="warp-quiet">{trouble || "Asking the kernel for its variables…"}</p>}
          {names?.length === 0 && <p class="warp-quiet">The notebook has no variables yet.</p>}
        </Floating>
      )}
    </div>
  );
}
