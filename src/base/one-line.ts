/**
 * What somebody else wrote, for a line of ours: control characters are shown as `\u000a`, since a
 * terminal would obey them and a line would end with them.
 */
export function oneLine(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}
