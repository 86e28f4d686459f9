{# For a source or a model that is named like a dataset of Interlock: fails with each reason why it is not safe. #}
{% test is_safe(model, dataset=none, partition=none) %}
  select reason ->> 'code' as code, reason ->> 'message' as message, reason ->> 'clears' as clears
  from (select interlock.ask({{ interlock.text(dataset or model.identifier) }}, {{ interlock.text(partition) if partition else 'null' }}) as answer) as asked
  left join lateral jsonb_array_elements(asked.answer -> 'reasons') as reason on true
  where (asked.answer ->> 'safe')::boolean is not true
{% endtest %}
