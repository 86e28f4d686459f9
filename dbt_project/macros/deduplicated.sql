{#
    One row for each key: the first in an order. It says in SQL what a contract's `deduplicated` says in YAML; the gate
    counts by the contract alone, so a model that keeps other rows does not balance.

    keep: [{'column': ..., 'order': 'desc' or 'asc'}]; nulls come last. Of a feed the newest delivery wins unless told
    otherwise, then the newest load, then the first row of its file.
#}
{% macro deduplicated(relation, key, keep=[], of_feed=true) -%}
    {%- set newest = [
        ('_delivered_on', 'desc'), ('_sequence', 'desc'), ('_load_id', 'desc'), ('_row_number', 'asc')
    ] if of_feed else [] -%}
    {%- set named = keep | map(attribute='column') | list -%}
    {%- set order = [] -%}
    {%- for item in keep -%}
        {%- do order.append(item.column ~ ' ' ~ item.get('order', 'desc') ~ ' nulls last') -%}
    {%- endfor -%}
    {%- for column, direction in newest if column not in named -%}
        {%- do order.append(column ~ ' ' ~ direction ~ ' nulls last') -%}
    {%- endfor -%}
    select distinct on ({{ key | join(', ') }}) *
    from {{ relation }}
    order by {{ (key + order) | join(', ') }}
{%- endmacro %}
