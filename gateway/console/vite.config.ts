import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
  // Relative: a proxy in front may add a prefix. index.html says where from.
  base: "./",
  plugins: [react()],
  build: {
    target: "es2023",
    manifest: true,
    // Data URLs would need more than `img-src 'self'` allows, and small files are cached well.
    assetsInlineLimit: 0,
    // Its inline script is forbidden, and every browser that runs the console knows module preload.
    modulePreload: { polyfill: false },
  },
  // `npm run dev`: the console from its sources, the API from a running gateway.
  server: {
    proxy: {
      "/gateway/v1": process.env.TASKGATE_URL ?? "http://127.0.0.1:8080",
      "/api/v1": process.env.TASKGATE_URL ?? "http://127.0.0.1:8080",
    },
  },
});
