select
  a.action_id, a.key, a.kind, a.state, a.domains, d.name as dataset, a.partitions, a.version, a.parameters, a.rationale, a.actor,
  a.radius, a.decision, a.undoes, a.proposed_at, a.expires_at, a.decided_at, a.executed_at, a.result, a.failure,
  (
    select coalesce(jsonb_agg(e.fact order by e.attached_at, e.ref), '[]')
    from interlock.action_evidence e where e.action_id = a.action_id
  ) as evidence,
  (
    select coalesce(jsonb_agg(jsonb_build_object(
      'actor', n.actor, 'answer', n.answer, 'reason', n.reason, 'via', n.via, 'at', n.at) order by n.answer_id), '[]')
    from interlock.action_answer n where n.action_id = a.action_id
  ) as answers
from interlock.action a
left join interlock.dataset d on d.dataset_id = a.dataset_id
where a.action_id = coalesce(%(action_id)s, a.action_id)
  and (%(states)s::text[] is null or a.state = any (%(states)s))
  and (%(kinds)s::text[] is null or a.kind = any (%(kinds)s))
  and (%(domains)s::text[] is null or a.domains && %(domains)s)
  and (%(datasets)s::text[] is null or d.name = any (%(datasets)s))
  and (%(partitions)s::text[] is null or a.partitions && %(partitions)s)
  and (%(since)s::timestamptz is null or a.proposed_at >= %(since)s)
  and (%(until)s::timestamptz is null or a.proposed_at < %(until)s)
  and (%(after_id)s::bigint is null or a.action_id < %(after_id)s)
order by a.action_id desc
limit %(limit)s
