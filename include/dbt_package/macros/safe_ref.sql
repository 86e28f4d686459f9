{#
  The rows of a published dataset, on condition that they are safe. The condition is part of the statement that reads:
  question and rows are of one snapshot, and a view that stands on it asks again each time that it is read. `safe.*`
  alone hides what is not safe, and a day that is hidden looks like a day on which nothing happened.
#}
{% macro safe_ref(dataset, partition=none, first=none, last=none) -%}
  {%- do interlock.note(dataset, partition, first, last) -%}
  (select * from safe.{{ adapter.quote(dataset) }} where {{ interlock.is_required(dataset, partition, first, last) }})
{%- endmacro %}

{% macro is_required(dataset, partition=none, first=none, last=none) -%}
  {%- if (first is none) != (last is none) or (first is not none and partition is not none) -%}
    {{ exceptions.raise_compiler_error(
      "safe_ref('" ~ dataset ~ "') was given half a range, or a range and a partition: give `partition`, or `first` and `last`,"
      ~ " or neither, which asks for the dataset as a whole (fresh, and its window safe)."
    ) }}
  {%- elif first is not none -%}
    interlock.require_days({{ interlock.text(dataset) }}, {{ interlock.text(first) }}, {{ interlock.text(last) }}) is not null
  {%- elif partition is not none -%}
    interlock.require_safe({{ interlock.text(dataset) }}, {{ interlock.text(partition) }}) is not null
  {%- else -%}
    interlock.require_safe({{ interlock.text(dataset) }}) is not null
  {%- endif -%}
{%- endmacro %}

{#
  Puts it on record who builds on what, in the model's own transaction, so that a recall finds them: the project's login,
  and the consumer that `vars: {interlock_consumer: ...}` names (a dbt exposure of the platform).
#}
{% macro note(dataset, partition=none, first=none, last=none) -%}
  {%- if execute and flags.WHICH in ['run', 'build'] -%}
    {%- set consumer = interlock.text(var('interlock_consumer')) if var('interlock_consumer', none) else 'null' -%}
    {%- set which = 'null' if first is none and partition is none else interlock.text(partition) -%}
    {%- set days -%}
      {%- if first is not none -%}
        select to_char(day, 'YYYY-MM-DD') as partition
        from generate_series({{ interlock.text(first) }}::date, {{ interlock.text(last) }}::date, interval '1 day') as day
      {%- else -%}
        select {{ which }}::text as partition
      {%- endif -%}
    {%- endset -%}
    {%- do run_query(
      "select interlock.check(" ~ interlock.text(dataset) ~ ", asked.partition, " ~ consumer ~ ", 'dbt') from (" ~ days ~ ") as asked"
    ) -%}
  {%- endif -%}
{%- endmacro %}

{% macro text(value) -%}
  '{{ dbt.escape_single_quotes(value | string) }}'
{%- endmacro %}
