/** A handler made of handlers: by exact path, then by method. */
import type { HttpHandler, HttpMethod } from "./http.ts";

export interface HttpRoute {
  readonly path: string;
  readonly method: HttpMethod;
  readonly handler: HttpHandler;
}

/**
 * Hands each request to its route. GET routes answer HEAD too. A known path with another method
 * is answered 405 with `allow` (RFC 9110 §15.5.6); an unknown path goes to `otherwise`, or 404.
 */
export function routeRequests(routes: readonly HttpRoute[], otherwise?: HttpHandler): HttpHandler {
  const byPath = new Map<string, Map<HttpMethod, HttpHandler>>();
  for (const { path, method, handler } of routes) {
    const methods = byPath.get(path) ?? new Map<HttpMethod, HttpHandler>();
    methods.set(method, handler);
    if (method === "GET" && !methods.has("HEAD")) methods.set("HEAD", handler);
    byPath.set(path, methods);
  }
  return (request, response) => {
    const methods = byPath.get(request.path);
    if (methods === undefined) {
      if (otherwise !== undefined) otherwise(request, response);
      else response.end(404, PLAIN_TEXT, "not found\n");
      return;
    }
    const handler = methods.get(request.method);
    if (handler !== undefined) handler(request, response);
    else
      response.end(405, [...PLAIN_TEXT, "allow", [...methods.keys()].join(", ")], "not allowed\n");
  };
}

const PLAIN_TEXT: readonly string[] = ["content-type", "text/plain; charset=utf-8"];
