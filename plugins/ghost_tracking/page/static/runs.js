// The last runs of the three DAGs, and why one failed.

import { airflowLink, h, panel, table } from "./dom.js";
import { away, span } from "./format.js";

export function runs({ dags, now }) {
  const rows = dags.flatMap((dag) =>
    (dag.runs.length ? dag.runs.slice(0, dag.dag_id === "ghost_tracker" ? 4 : 2) : [null]).map((run) => ({ dag, run })),
  );
  const columns = [
    {
      name: "DAG",
      cell: ({ dag }) => [
        airflowLink(`dags/${dag.dag_id}`, dag.dag_id),
        dag.is_paused ? [" ", h("span", { class: "chip broken" }, "paused")] : null,
      ],
    },
    {
      name: "Run",
      cell: ({ dag, run }) =>
        run
          ? h(
              "span",
              { class: "one" },
              airflowLink(`dags/${dag.dag_id}/runs/${encodeURIComponent(run.run_id)}`, away(run.at, now)),
            )
          : "none yet",
    },
    {
      name: "State",
      cell: ({ run }) =>
        run
          ? h("span", { class: `chip ${{ success: "well", failed: "broken" }[run.state] || "watch"}` }, run.state)
          : "",
    },
    { name: "Took", number: true, cell: ({ run }) => (run && run.seconds !== null ? span(run.seconds) : "") },
    {
      name: "Result",
      cell: ({ dag, run }) =>
        run && run.failure
          ? failed(dag, run)
          : h("div", { class: "small two", title: run && run.message }, (run && run.message) || ""),
    },
  ];
  if (!rows.length)
    return panel(
      "Last runs",
      { class: "w6" },
      null,
      h("p", { class: "soft" }, "Airflow does not let you see the runs of these DAGs."),
    );
  return panel("Last runs", { class: "w6" }, null, table("Last runs of the three DAGs", columns, rows));
}

/** Which task failed, and, when its log has told it, why: asked of Airflow, which knows who may read logs. */
function failed(dag, run) {
  const { task_id: task, map_index: index, try_number: attempt } = run.failure;
  const id = encodeURIComponent(run.run_id);
  const place = h("span", null, "failed");
  const mapped = index >= 0;
  reason(
    `api/v2/dags/${dag.dag_id}/dagRuns/${id}/taskInstances/${task}/logs/${attempt}?full_content=true${mapped ? `&map_index=${index}` : ""}`,
  ).then((said) => said && place.replaceChildren(said));
  return h(
    "div",
    { class: "small" },
    airflowLink(
      `dags/${dag.dag_id}/runs/${id}/tasks/${task}${mapped ? `/mapped/${index}` : ""}`,
      mapped ? `${task} ${index}` : task,
    ),
    ": ",
    place,
  );
}

/** The last exception that a log reports; null where there is none to be had. */
async function reason(path) {
  try {
    const answer = await fetch(new URL("../" + path, document.baseURI), { headers: { Accept: "application/json" } });
    if (!answer.ok) return null;
    const { content } = await answer.json();
    const [error] = content.findLast((row) => row.error_detail && row.error_detail.length)?.error_detail || [];
    return error ? error.exc_value || error.exc_type : null;
  } catch {
    return null;
  }
}
