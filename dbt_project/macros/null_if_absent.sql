{# The two ways in which these producers write that a value is absent. Only for columns that may be absent. #}
{% macro null_if_absent(column) -%}
    nullif(nullif({{ column }}, 'NA'), '')
{%- endmacro %}
