-- The names of all datasets downstream of one.
with recursive reader as (
  select e.downstream_id
  from interlock.edge e join interlock.dataset d on d.dataset_id = e.upstream_id
  where d.name = %s
  union
  select e.downstream_id from interlock.edge e join reader r on r.downstream_id = e.upstream_id
)
select d.name from reader r join interlock.dataset d on d.dataset_id = r.downstream_id order by d.name
