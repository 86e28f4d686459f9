{#
  The rows of a published dataset, on condition that they are safe. The condition is part of the statement that reads:
  question and rows are of one snapshot, and a view that stands on it asks again each time that it is read. `safe.*`
  alone hides what is not safe, and a day that is hidden looks like a day on which nothing happened.
  What is not given is 'window'; none is refused, because a variable that is missing must not ask for something else.
#}
{% macro safe_ref(dataset, partition='window', first='window', last='window') -%}
  {%- do interlock.note(dataset, partition, first, last) -%}
  (select * from safe.{{ adapter.quote(dataset) }} where {{ interlock.is_required(dataset, partition, first, last) }})
{%- endmacro %}

{% macro is_required(dataset, partition='window', first='window', last='window') -%}
  {%- set is_range = first != 'window' or last != 'window' -%}
  {%- set given = [first, last] if is_range else [partition] -%}
  {%- if (is_range and partition != 'window') or not (given | select | list) == given or (is_range and 'window' in given) -%}
    {{ exceptions.raise_compiler_error(
      "safe_ref('" ~ dataset ~ "') was given half a range, a range and a partition, or nothing where a day should be: give `partition`, or `first` and `last`,"
      ~ " or neither, which asks for the dataset as a whole (fresh, and its window safe)."
    ) }}
  {%- elif is_range -%}
    interlock.require_days({{ interlock.text(dataset) }}, {{ interlock.text(first) }}, {{ interlock.text(last) }}) is not null
  {%- elif partition != 'window' -%}
    interlock.require_safe({{ interlock.text(dataset) }}, {{ interlock.text(partition) }}) is not null
  {%- else -%}
    interlock.require_safe({{ interlock.text(dataset) }}) is not null
  {%- endif -%}
{%- endmacro %}

{#
  Puts it on record who builds on what, in the model's own transaction, so that a recall finds them: the project's login,
  and the consumer that `vars: {interlock_consumer: ...}` names (a dbt exposure of the platform).
#}
{% macro note(dataset, partition='window', first='window', last='window') -%}
  {%- if execute and flags.WHICH in ['run', 'build'] -%}
    {%- set consumer = interlock.text(var('interlock_consumer')) if var('interlock_consumer', none) else 'null' -%}
    {%- set which = 'null' if partition == 'window' else interlock.text(partition) -%}
    {%- set days -%}
      {%- if first != 'window' -%}
        select to_char({{ interlock.text(first) }}::date + n, 'YYYY-MM-DD') as partition
        from generate_series(0, {{ interlock.text(last) }}::date - {{ interlock.text(first) }}::date) as n
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
