export { Growing, type Block } from "./growing";
export { images, render } from "./render";
