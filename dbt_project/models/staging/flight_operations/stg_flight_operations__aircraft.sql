with

source as (

    select * from {{ source('flight_operations', 'aircraft') }}

),

final as (

    select
        tailnum as tail_number,
        _delivered_on as snapshot_date,
        {{ null_if_absent('year') }}::int as manufactured_year,
        type as aircraft_type,
        manufacturer,
        model,
        engines::int as engine_count,
        seats::int as seat_count,
        {{ null_if_absent('speed') }}::int as cruising_speed_mph,
        engine as engine_type
    from source

)

select * from final
