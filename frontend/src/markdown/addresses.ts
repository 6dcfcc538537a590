// Control and format characters, all spaces, lone surrogates; browsers read a backslash as a slash.
const DECEPTIVE = /[\p{C}\p{Z}\\]/u;

const PICTURE_DATA = /^data:image\/(?:png|jpeg|gif|webp);base64,[a-z\d+/]+=*$/i;

/** The address a link may lead to, in normal form; undefined unless it is absolute and http, https or mailto. */
export function linkAddress(address: string): string | undefined {
  return /^(?:https?:\/\/|mailto:)[^/]/i.test(address) ? normal(address) : undefined;
}

/** The address a picture may be loaded from once a user asks: http, https, or the picture itself in base64. */
export function pictureAddress(address: string): string | undefined {
  if (PICTURE_DATA.test(address)) return address;
  return /^https?:\/\/[^/]/i.test(address) ? normal(address) : undefined;
}

/** The host a picture comes from; empty if the address is the picture. */
export function pictureHost(address: string): string {
  return new URL(address).host;
}

function normal(address: string): string | undefined {
  if (DECEPTIVE.test(address) || !URL.canParse(address)) return undefined;
  const url = new URL(address);
  // `https://bank.example@elsewhere.example` leads elsewhere.
  return url.username || url.password ? undefined : url.href;
}
