{# The time of day that an HHMM clock shows, as an interval since midnight: 2400 is the midnight that ends the day. #}
{% macro clock_interval(clock) -%}
    make_interval(hours => {{ clock }} / 100, mins => {{ clock }} % 100)
{%- endmacro %}
