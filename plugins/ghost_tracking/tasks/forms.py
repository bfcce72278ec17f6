"""The form of a run, as its tasks read it.

Airflow checks the values of a DAG's params, and takes any other name along in silence: a `dryrun` that nobody reads
would delete in earnest.
"""

from collections.abc import Mapping
from typing import Any

from ghost_tracking.core.validation import named
from ghost_tracking.errors import BadInputError
from ghost_tracking.tasks.body import task_body

_OF_AIRFLOW = {"openlineage"}
"""What Airflow's own TriggerDagRunOperator adds where OpenLineage is in use."""


@task_body
def form(context: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the run's form, from the context of a task. Fails on names that the DAG's form does not have."""
    known = list(context["dag"].params)
    unknown = [name for name in context["dag_run"].conf or {} if name not in known and name not in _OF_AIRFLOW]
    if unknown:
        raise BadInputError(
            f"the form of {context['dag'].dag_id} has no {', nor '.join(named(name, known) for name in unknown)}. "
            f"Its fields are {', '.join(known)}. Nothing was done"
        )
    return dict(context["params"])
