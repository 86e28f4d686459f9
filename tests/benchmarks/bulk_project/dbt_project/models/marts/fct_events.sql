with

events as (

    select * from {{ ref('stg_bulk__events') }}

),

final as (

    select
        event_id,
        event_date,
        kind,
        amount,
        amount > 500 as is_large
    from events

)

select * from final
