import hljs from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import cpp from "highlight.js/lib/languages/cpp";
import diff from "highlight.js/lib/languages/diff";
import dockerfile from "highlight.js/lib/languages/dockerfile";
import go from "highlight.js/lib/languages/go";
import ini from "highlight.js/lib/languages/ini";
import json from "highlight.js/lib/languages/json";
import julia from "highlight.js/lib/languages/julia";
import markdown from "highlight.js/lib/languages/markdown";
import python from "highlight.js/lib/languages/python";
import r from "highlight.js/lib/languages/r";
import rust from "highlight.js/lib/languages/rust";
import sql from "highlight.js/lib/languages/sql";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";
import { escape } from "./text";

const LANGUAGES = {
  bash,
  cpp,
  diff,
  dockerfile,
  go,
  ini,
  json,
  julia,
  markdown,
  python,
  r,
  rust,
  sql,
  typescript,
  xml,
  yaml,
};

for (const [name, grammar] of Object.entries(LANGUAGES)) hljs.registerLanguage(name, grammar);
hljs.registerAliases(["javascript", "js", "jsx", "mjs", "cjs"], { languageName: "typescript" });
hljs.registerAliases(["c", "h"], { languageName: "cpp" });
hljs.registerAliases(["shell", "console", "shellsession"], { languageName: "bash" });
hljs.registerAliases(["python3", "ipython"], { languageName: "python" });

/** Longer code is not coloured. */
export const LONGEST_COLOURED = 20_000;

/** A block of code; coloured if `info`, what the fence says, begins with the name of a known language. */
export function codeBlock(code: string, info: string): string {
  const language = /[\w+#.-]+/.exec(info)?.[0].toLowerCase().slice(0, 30);
  const named = language === undefined ? "" : ` language-${language}`;
  return `<pre><code class="hljs${named}">${colour(code, language)}</code></pre>\n`;
}

function colour(code: string, language: string | undefined): string {
  if (language === undefined || code.length > LONGEST_COLOURED || !hljs.getLanguage(language)) return escape(code);
  return hljs.highlight(code, { language, ignoreIllegals: true }).value;
}
