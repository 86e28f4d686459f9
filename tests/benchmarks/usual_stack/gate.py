"""The usual stack's gate: a process that imports Great Expectations and validates one table."""

import os
import sys

import great_expectations as gx
import great_expectations.expectations as gxe

schema, table = sys.argv[1].split(".")
context = gx.get_context(mode="ephemeral")
source = context.data_sources.add_postgres("warehouse", connection_string=os.environ["BENCH_GX_URL"])
batch = (
    source.add_table_asset(table, table_name=table, schema_name=schema)
    .add_batch_definition_whole_table("whole")
    .get_batch()
)
key = "flight_date" if schema != "raw_flight_operations" else "day"
suite = gx.ExpectationSuite(
    "usual",
    [
        gxe.ExpectTableRowCountToBeBetween(min_value=1),
        gxe.ExpectColumnValuesToNotBeNull(column=key),
        gxe.ExpectColumnToExist(column=key),
        gxe.ExpectColumnUniqueValueCountToBeBetween(column=key, min_value=1),
    ],
)
sys.exit(0 if batch.validate(suite).success else 1)
