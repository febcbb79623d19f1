# Everything that is needed to build, and nothing of it in the image.
FROM node:22.21-bookworm-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json nest-cli.json ./
COPY activities activities
COPY scripts scripts
COPY src src
COPY workflows workflows
RUN npm run build

# What runs: PostgreSQL and Temporal are elsewhere, so their embedded servers (optional packages) are left out.
FROM node:22.21-bookworm-slim AS dependencies
WORKDIR /posthorn
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund

FROM node:22.21-bookworm-slim
ENV NODE_ENV=production NODE_OPTIONS=--enable-source-maps POSTHORN_HOST=0.0.0.0
WORKDIR /posthorn
COPY package.json ./
COPY --from=dependencies /posthorn/node_modules node_modules
COPY --from=build /build/dist/workflow-bundle.js dist/workflow-bundle.js
COPY --from=build /build/dist/activities dist/activities
COPY --from=build /build/dist/src dist/src
COPY --from=build /build/dist/workflows dist/workflows
USER node
EXPOSE 8400
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.POSTHORN_PORT || 8400}/healthz`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# The other commands are there too: docker compose run --rm api keys create --name …
ENTRYPOINT ["node", "dist/src/cli.js"]
CMD ["serve"]
