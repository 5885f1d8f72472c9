import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    environment: "happy-dom",
    include: ["tests/**/*.test.{ts,tsx}"],
    testTimeout: 60_000,
    // Node 20 has what browsers know of large numbers in JSON behind a flag.
    execArgv: "rawJSON" in JSON ? [] : ["--harmony-json-parse-with-source"],
  },
});
