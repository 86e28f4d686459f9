-- Many questions answered in one statement and one snapshot, for whoever serves them: in the order asked, with the domain
-- that an asker must be allowed to read. What nobody registered has no domain and no answer. Answers come as text, because
-- who serves them hands them on.
create function interlock.ask_all(datasets text[], partitions text[])
returns table (place integer, domain text, answer text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  return query
  select q.place::integer, d.domain, case when d.dataset_id is not null then interlock.ask(q.dataset, q.partition)::text end
  from unnest(ask_all.datasets, ask_all.partitions) with ordinality as q (dataset, partition, place)
  left join interlock.dataset d on d.name = q.dataset
  order by q.place;
end;
$$;

grant execute on function interlock.ask_all to interlock_consumer, interlock_operator, interlock_auditor;
