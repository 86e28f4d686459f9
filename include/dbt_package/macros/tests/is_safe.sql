{# For a source or a model that is named like a dataset of Interlock: fails with each reason why it is not safe. #}
{% test is_safe(model, dataset=none, partition='window') %}
  select reason ->> 'code' as code, reason ->> 'message' as message, reason ->> 'clears' as clears
  from (select interlock.ask({{ interlock.text(dataset or model.identifier) }}, {{ 'null' if partition == 'window' else interlock.text(partition) }}) as answer) as asked
  left join lateral jsonb_array_elements(asked.answer -> 'reasons') as reason on true
  where (asked.answer ->> 'safe')::boolean is not true
{% endtest %}
