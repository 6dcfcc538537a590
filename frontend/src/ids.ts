/** A fresh id. `crypto.randomUUID` is there in secure contexts alone, and many a Jupyter is served over plain HTTP. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((one) => one.toString(16).padStart(2, "0")).join("");
}
