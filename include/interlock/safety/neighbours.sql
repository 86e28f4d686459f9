-- What a dataset reads, what reads it, and who stands on it without being a dataset.
select
  (
    select coalesce(jsonb_agg(jsonb_build_object('dataset', u.name, 'domain', u.domain, 'layer', u.layer, 'mapping', e.mapping,
      'lookback', e.lookback, 'reopens', e.reopens) order by u.name), '[]')
    from interlock.edge e join interlock.dataset u on u.dataset_id = e.upstream_id where e.downstream_id = d.dataset_id
  ) as upstream,
  (
    select coalesce(jsonb_agg(jsonb_build_object('dataset', n.name, 'domain', n.domain, 'layer', n.layer, 'mapping', e.mapping,
      'lookback', e.lookback, 'reopens', e.reopens) order by n.name), '[]')
    from interlock.edge e join interlock.dataset n on n.dataset_id = e.downstream_id where e.upstream_id = d.dataset_id
  ) as downstream,
  coalesce(jsonb_agg(x.document order by x.name) filter (where x.kind = 'consumer'), '[]') as consumers,
  coalesce(jsonb_agg(x.document order by x.name) filter (where x.kind = 'metric'), '[]') as metrics
from interlock.dataset d
left join lateral (
  select t.kind, t.name, jsonb_build_object('name', t.name, 'owner', t.owner, 'contact', t.contact, 'kind', t.kind) as document
  from interlock.dependent t where d.dataset_id = any (t.dataset_ids)
) as x on true
where d.name = %(dataset)s
group by d.dataset_id
