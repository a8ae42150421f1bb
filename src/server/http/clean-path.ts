/**
 * Where a request is sent that came to a path written in a roundabout way. Scripts join an
 * endpoint that ends with a slash and a path that begins with one; etcd's router sends them on.
 */

/** The target to be sent to, or undefined if the path is clean. */
export function cleanTarget(path: string, query: string, hasGateway: boolean): string | undefined {
  const clean = cleaned(path);
  const target = hasGateway && clean === "/v3" ? "/v3/" : clean;
  if (target === path) return undefined;
  return query === "" ? target : `${target}?${query}`;
}

/** Without empty segments, "." and ".."; a slash at the end stays. */
function cleaned(path: string): string {
  if (!/\/(?:\/|\.\.?(?:\/|$))/.test(path)) return path;
  const segments: string[] = [];
  for (const segment of path.split("/")) {
    if (segment === "..") segments.pop();
    else if (segment !== "" && segment !== ".") segments.push(segment);
  }
  const joined = `/${segments.join("/")}`;
  return path.endsWith("/") && joined !== "/" ? `${joined}/` : joined;
}
