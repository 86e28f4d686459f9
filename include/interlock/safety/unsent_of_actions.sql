-- What people have not been told yet about actions, with what each of them is about. The words are those of the command line.
select n.notice_id, n.recipient as owner, n.what, n.domains, n.consumers, a.action_id, a.undoes, d.name as dataset,
  concat_ws(' ', a.kind, coalesce(d.name, array_to_string(a.domains, ', ')),
    case
      when cardinality(a.partitions) > 3 then format('%s to %s (%s partitions)',
        a.partitions[1], a.partitions[cardinality(a.partitions)], cardinality(a.partitions))
      else nullif(array_to_string(a.partitions, ' '), '')
    end, 'version ' || a.version) as title,
  concat_ws(' for ', a.actor ->> 'name', a.actor ->> 'on_behalf_of') as proposed_by, a.rationale, a.radius as touched,
  coalesce((a.decision ->> 'approvals_required')::integer, 0) as approvals_required,
  (select count(*) from interlock.action_answer x where x.action_id = a.action_id and x.answer = 'approve') as approvals,
  a.expires_at, n.domains <> '{}' and ('*' = any (a.domains) or a.domains && n.domains) as is_decided_here,
  n.domains <> '{}' and exists (
    select from jsonb_to_recordset(a.decision -> 'obligations') as o (code text, subject text)
    where o.code = 'review_afterwards' and o.subject = any (n.domains || '*'::text)) as is_to_be_reviewed
from interlock.action_notice n
join interlock.action a on a.action_id = n.action_id
left join interlock.dataset d on d.dataset_id = a.dataset_id
where n.sent_at is null
order by n.notice_id
