import { QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { createBrowserRouter, RouterProvider } from "react-router";
import { basePath } from "./api/base";
import { makeQueries } from "./api/queries";
import { Frame, Lost } from "./frame";
import "./styles/index.css";

const router = createBrowserRouter(
  [
    {
      element: <Frame />,
      errorElement: <Lost />,
      hydrateFallbackElement: <main className="main" aria-busy="true" />,
      children: [
        { index: true, lazy: async () => ({ Component: (await import("./views/matrix")).MatrixView }) },
        { path: "dataset/:dataset", lazy: async () => ({ Component: (await import("./views/dataset")).DatasetView }) },
        {
          path: "dataset/:dataset/:partition",
          lazy: async () => ({ Component: (await import("./views/partition")).PartitionView }),
        },
        { path: "action", lazy: async () => ({ Component: (await import("./views/actions")).ActionsView }) },
        { path: "action/:id", lazy: async () => ({ Component: (await import("./views/action")).ActionView }) },
        { path: "metric", lazy: async () => ({ Component: (await import("./views/metrics")).MetricsView }) },
        { path: "metric/:metric", lazy: async () => ({ Component: (await import("./views/metric")).MetricView }) },
        { path: "*", element: <Lost /> },
      ],
    },
  ],
  { basename: basePath || "/" },
);

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={makeQueries()}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </StrictMode>,
  );
}
