# syntax=docker/dockerfile:1
FROM node:26.10.0-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# The pinned platform packages of Node are optional dependencies: the image has its own.
RUN npm ci --omit=dev --omit=optional

FROM node:26.10.0-bookworm-slim
LABEL org.opencontainers.image.title="neko-defense-api" \
      org.opencontainers.image.description="Threat-defence API: GraphQL about threats, every request scored, judged and recorded" \
      org.opencontainers.image.licenses="MIT"
ENV NODE_ENV=production HOST=0.0.0.0 DATA_DIR=/data
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json ./
COPY src ./src
COPY workers ./workers
RUN install -d -o node -g node -m 0700 /data
VOLUME /data
USER node
EXPOSE 4000 9464
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + (process.env.PORT || 4000) + '/health/live').then((r) => { process.exitCode = r.ok ? 0 : 1 }, () => { process.exitCode = 1 })"]
# Drains, and ends by itself after SHUTDOWN_TIMEOUT_MS (25 s) at the latest: whoever stops it must wait longer (40 s).
STOPSIGNAL SIGTERM
CMD ["node", "src/main.ts"]
