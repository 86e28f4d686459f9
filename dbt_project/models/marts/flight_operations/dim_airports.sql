with

airports as (

    select * from {{ ref('stg_flight_operations__airports') }}

),

unknown_member as (

    select
        'UNKNOWN' as airport_code,
        'Unknown' as airport_name

),

final as (

    select
        airport_code,
        airport_name,
        latitude,
        longitude,
        altitude_feet,
        time_zone
    from airports

    union all

    select
        airport_code,
        airport_name,
        null as latitude,
        null as longitude,
        null as altitude_feet,
        null as time_zone
    from unknown_member

)

select * from final
