import { layOut } from "./layout";

export interface Request {
  id: number;
  names: string[];
  edges: { source: string; target: string }[];
}

addEventListener("message", ({ data }: MessageEvent<Request>) => {
  postMessage({ id: data.id, places: layOut(data.names, data.edges) });
});
