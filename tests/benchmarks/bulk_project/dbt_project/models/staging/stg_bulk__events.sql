with

events as (

    select * from {{ source('bulk', 'events') }}

),

final as (

    select
        event_id::bigint as event_id,
        day::date as event_date,
        kind,
        amount::double precision as amount
    from events

)

select * from final
