"""
# One DAG for each domain

**What.** Airflow takes one day of a domain from its landing folder to its curated tables, as `admit → load →
gate → stage → gate → publish → build → gate → publish`. Every DAG here is generated from the
contracts; there is nothing to edit when a dataset is added.

**Which day.** A scheduled run, and each run of a backfill, takes the day on which its data interval
begins. A run that is triggered by hand takes its logical date, or the parameter `partition`:

    {"partition": "2013-01-05"}

**When it is red.** A file was refused, a gate blocked, or an input is not safe. Nothing after that
task runs, nothing of that day is published, and readers keep what they had. The log names what to
do; `interlock explain DATASET --partition P` shows the evidence. A task that waits to be retried
lacks something that may still come.

**What a rerun does.** Clear the run, trigger it again, or backfill any range, as often as you like: a
day that did not change is left alone, a day whose delivery, model or contract changed is built
beside, gated again, and swapped in whole. Marking a task successful publishes nothing.
"""

from interlock.contracts.loading import load_contracts
from interlock.operators.domains import load_domains
from interlock.operators.factory import domain_dag

catalog = load_contracts()
for name, domain in load_domains().items():
    globals()[name] = domain_dag(name, domain, catalog, __doc__)
