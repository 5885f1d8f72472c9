import { QueryClient } from "@tanstack/react-query";
import { Problem } from "./problem";

/** What has been read of the gateway. */
export const queries = new QueryClient({
  defaultOptions: {
    queries: {
      // Streams say what has changed.
      staleTime: Infinity,
      refetchOnWindowFocus: false,
      retry: (count, error) => error instanceof Problem && (error.status === 0 || error.status >= 500) && count < 2,
    },
  },
});
