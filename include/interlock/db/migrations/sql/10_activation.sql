-- Activation: new blocking clauses become active together with the verdicts that they give on everything served.

-- Registers a contract and records what its clauses say of every served partition, in one transaction: at no instant is
-- anything safe under clauses that it was not judged by. Every served partition must have been judged, in the version
-- that is served now; the claims of the run keep it so.
create function interlock.activate_contract(run_id bigint, token bigint, definition jsonb, results jsonb)
returns table (partition text, outcome text, verdict_id bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  d interlock.dataset;
  running interlock.run;
  judged bigint;
  unfit record;
begin
  perform interlock.decide_alone();
  select * into strict d from interlock.dataset x where x.dataset_id = interlock.dataset_id_of(definition ->> 'name') for update;
  select r.* into strict running from interlock.run r where r.run_id = activate_contract.run_id;
  perform interlock.require_claim(running.run_id, activate_contract.token, p.partition, d.domain)
  from interlock.partition p where p.dataset_id = d.dataset_id and p.version is not null;

  select coalesce(p.partition, r.partition) as part, p.version as served, r.version as judged into unfit
  from (select x.* from interlock.partition x where x.dataset_id = d.dataset_id and x.version is not null) as p
  full join jsonb_to_recordset(results) as r (partition text, version bigint) on r.partition = p.partition
  where p.version is distinct from r.version
  limit 1;
  if found then
    raise exception 'partition % of "%" was judged in version %, and version % is served', unfit.part, d.name, unfit.judged, unfit.served
      using errcode = 'IL009', hint = 'Nothing was activated. Run it again: what is served now will be judged.';
  end if;

  perform interlock.register_dataset(definition, running.actor);
  for judged in select distinct r.version from jsonb_to_recordset(results) as r (version bigint) order by 1 loop
    for partition, outcome, verdict_id in
      select x.partition, x.outcome, x.verdict_id
      from interlock.record_verdicts(running.run_id, activate_contract.token, judged, (
        select jsonb_agg(r) from jsonb_array_elements(results) r where (r ->> 'version')::bigint = judged)) x
    loop
      if outcome = 'passed' then
        perform interlock.stand_on(running, d, partition, judged, verdict_id);
      end if;
      return next;
    end loop;
  end loop;
end;
$$;

-- Puts a new passing verdict under a version that is served already, and ends what an earlier activation found against
-- that very version. Findings about anything else (a delivery, a newer candidate) stay as they are.
create function interlock.stand_on(running interlock.run, d interlock.dataset, part text, served bigint, verdict_id bigint) returns void
language plpgsql as $$
declare
  mended bigint[];
begin
  update interlock.partition p set verdict_id = stand_on.verdict_id
  where p.dataset_id = d.dataset_id and p.partition = part and p.version = served;
  select array_agg(c.cause_id) into mended from interlock.cause c
  where c.dataset_id = d.dataset_id and c.partition = part and c.cleared_at is null and c.code = 'gate_failed'
    and (c.evidence ->> 'version')::bigint = served;
  if mended is null then
    return;
  end if;
  perform interlock.supersede(running.run_id, mended);
  perform interlock.settle(running.run_id, d.dataset_id, part);
  perform interlock.reopen_dependants(running.run_id, d.dataset_id, d.name, part, served, '{}');
end;
$$;

-- The gate's right, whose verdicts it records: clauses cannot change here without one on everything that is served.
grant execute on function interlock.activate_contract to interlock_gate;
