# One executable on nothing but the C library it names.
FROM debian:12-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends nodejs npm ca-certificates
WORKDIR /src
COPY . .
RUN npx -y bun@1.4.4 run build

FROM gcr.io/distroless/base-debian12
COPY --from=build /src/dist/aether /aether
EXPOSE 2379 9090
VOLUME /data
ENTRYPOINT ["/aether", "--addr", "0.0.0.0:2379", "--data-dir", "/data"]
