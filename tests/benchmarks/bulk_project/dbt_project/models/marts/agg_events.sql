with

events as (

    select * from {{ ref('fct_events') }}

),

final as (

    select
        event_date,
        kind,
        count(*) as events,
        sum(amount) as amount
    from events
    group by event_date, kind

)

select * from final
