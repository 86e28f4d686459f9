{# For `on-run-start`: the run ends before its first model where one of these datasets is not safe, and says why. #}
{% macro require_safe(datasets, partition='window', first='window', last='window') -%}
  {%- if not datasets -%}
    {{ exceptions.raise_compiler_error("require_safe was given no dataset: nothing would be asked.") }}
  {%- elif execute -%}
    {%- for dataset in ([datasets] if datasets is string else datasets) -%}
      {%- do run_query("select " ~ interlock.is_required(dataset, partition, first, last)) -%}
    {%- endfor -%}
  {%- endif -%}
{%- endmacro %}
