{# One schema a run: the one that the target names, whatever a model's configuration says. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ target.schema }}
{%- endmacro %}
