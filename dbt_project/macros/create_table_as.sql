{#
    A candidate that spans several months is created with one partition a month, so that each month can be
    attached to the published table without copying a row. The run names such models in `interlock_buckets`:
    {model: {column: partition column, months: [first days of the months]}}. Without it, dbt's own macro.

    The partitions are named after the model (`<model>__2013_01`), not after dbt's intermediate relation, which
    is renamed when it is complete. A row outside the months is an error of the database.
#}
{% macro postgres__create_table_as(temporary, relation, sql) -%}
    {%- set bucket = var('interlock_buckets', {}).get(model.name) -%}
    {%- if temporary or not bucket -%}
        {{ return(dbt.postgres__create_table_as(temporary, relation, sql)) }}
    {%- endif -%}
    create table {{ relation }}
    {{ get_assert_columns_equivalent(sql) }}
    {{ get_table_columns_and_constraints() }}
    partition by range ({{ adapter.quote(bucket.column) }});
    {% for month in bucket.months -%}
    {%- set first = modules.datetime.date.fromisoformat(month) -%}
    {%- set next = (first + modules.datetime.timedelta(days=31)).replace(day=1) -%}
    {%- set part = this.incorporate(path={'identifier': this.identifier ~ first.strftime('__%Y_%m')}) -%}
    drop table if exists {{ part }};
    create table {{ part }} partition of {{ relation }} for values from ('{{ first }}') to ('{{ next }}');
    {% endfor -%}
    insert into {{ relation }} ({{ adapter.dispatch('get_column_names', 'dbt')() }})
    {{ get_select_subquery(sql) }};
{%- endmacro %}
