// Temml without its chemistry, which is a fifth of its size.
declare module "temml/temml.js" {
  export { default } from "temml";
}
